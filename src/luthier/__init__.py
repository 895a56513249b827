"""luthier."""
