"""What a trained net sees in one photograph, and how far its maps can be believed."""
