"""What is run on the project itself: audit and bill of materials of what it depends on."""
