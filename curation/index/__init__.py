"""The index of public images: which file of which dataset has a checksum."""
