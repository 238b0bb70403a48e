"""The dissociation report: claims, errata and figures of a store as HTML, Markdown, JSON and CSV."""
