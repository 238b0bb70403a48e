"""What a study leaves on its parent run: tables, Markdown, figures."""
