"""From a recipe to an AMI in one region."""
