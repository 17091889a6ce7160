"""dataset: measured rows, from the journal that a collection writes to the table that training reads."""
