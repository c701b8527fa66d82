"""Reads the faces in camera frames: detects, classifies, tracks, and hands detections to the durable outbox."""
