"""What experts do for which texts, and what training them promises."""
