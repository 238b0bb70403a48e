"""Numbers as they were printed, a file a paper; nothing is computed here and nothing imported but types."""
