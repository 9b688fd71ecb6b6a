"""The verbs of the product: one file each."""
