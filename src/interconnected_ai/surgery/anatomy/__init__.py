"""What a mixture of experts is made of: where its blocks stand, what its family is, one layer, one expert."""
