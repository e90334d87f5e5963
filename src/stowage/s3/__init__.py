"""What Stowage does with an S3 server: connect, buckets, versions, presigned links."""
