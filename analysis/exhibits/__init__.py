"""What a claim is, where its runs are from, how it is judged and evaluated."""
