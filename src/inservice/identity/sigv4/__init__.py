"""Signature Version 4, from the side that checks it: a request in, whose it is out.

claims     a request in, whose it is out: the two moves, and all that has to hold beside
stated     what a request says of its own signature, in a header or in the query
canonical  what of a request is signed: path, query and headers in their one form
signing    the key that is derived from a secret, and what it makes of a string
s3         S3's dialect: the head verified at once, the signatures of chunks that follow
s3_stated  what a request to S3 says of its own signature, and S3's words for saying it wrongly

A signature is checked in two moves, because the data plane knows the head of a request before its
body: `claim` reads the head and refuses whatever the body cannot mend, `Claim.verify` takes the
digest of the body and compares. `verify` is both in one.

Everything that is not expressly allowed is refused, but by `s3`, which has S3's rules:

- exactly one form, header or query; never a mixture of the two, never a second one of either;
- the scope is <date>/<region>/<service>/aws4_request with the date of X-Amz-Date and a service of
  this plane. The region is the one the client states: one server answers for all of them;
- signed: `host`, and each `x-amz-*`, `x-amzn-*` and `content-type` header that is there. Anybody on
  the way could add one that is not (SeaweedFS and RustFS honoured such headers);
- no header that matters and no query parameter appears twice: SigV4 sorts query pairs, so the order
  of repeated ones is not protected by the signature;
- the body is always signed. UNSIGNED-PAYLOAD and the STREAMING-… markers belong to S3;
- signatures are compared in constant time, and the cache of derived keys is keyed by the secret
  itself, so that a rotated secret can never meet the key derived from its predecessor.

No I/O and no clock. Durations are seconds, instants are seconds since the epoch. `foreign`, which
is not as strict, stands on the same canonical forms and the same signature.
"""
