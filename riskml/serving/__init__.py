"""What runs a bundle day after day: nothing here needs what training needs."""
