"""What a person looks at: tables, plots, drawings, and the pages' templates."""
