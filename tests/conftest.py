"""That this file is here puts its folder on the path, so that the tests of every room can import `tiny`."""
