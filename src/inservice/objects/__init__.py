"""What S3 promises of buckets and objects, decided on paper: names, ETags, pages of a listing,
parts of an upload, conditions, ranges. No I/O and no clock."""
