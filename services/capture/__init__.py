"""Takes frames from a camera, file or stream and publishes them on the local broker as plain JPEGs."""
