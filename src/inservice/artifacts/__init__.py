"""Model artifacts: from a URI to a read-only directory on this host.

base.py       what others see of it
sources.py    what a URI may be, and what every storage answers
s3.py         s3://, in anything that speaks S3           files.py   file://, on one host
s3_client.py  whom the server asks, with which key
gunzip.py     tar.py      readers of archives for which nobody vouches
paths.py      tree.py     which names become paths, and how they are written
unpack.py     a source and a listing become a tree
shelf.py      trees on disk, by digest, and which fleet needs which
store.py      ArtifactStore: fetch once for everybody, keep, release
lint.py       what an artifact would do, without serving it; program.py reads its
              program, code_place.py knows which that is
errors.py     limits.py   why not, and how much
"""
