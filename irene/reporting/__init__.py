"""reporting: predictions and explanations as tables, pages, traces and files. Values in, text out."""
