"""The S3 of this server beside MiniStack's and SeaweedFS's."""
