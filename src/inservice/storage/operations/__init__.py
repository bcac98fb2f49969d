"""S3's operations: what each one answers. `inservice.storage.calls.OPERATIONS` has them by name
when this package is imported."""

from inservice.storage.operations import bucket_plain as bucket_plain
from inservice.storage.operations import bucket_policy as bucket_policy
from inservice.storage.operations import bucket_settings as bucket_settings
from inservice.storage.operations import buckets as buckets
from inservice.storage.operations import copying as copying
from inservice.storage.operations import deleting as deleting
from inservice.storage.operations import listing as listing
from inservice.storage.operations import lists_of_access as lists_of_access
from inservice.storage.operations import multipart as multipart
from inservice.storage.operations import multipart_copying as multipart_copying
from inservice.storage.operations import multipart_listing as multipart_listing
from inservice.storage.operations import object_attributes as object_attributes
from inservice.storage.operations import object_locks as object_locks
from inservice.storage.operations import object_tagging as object_tagging
from inservice.storage.operations import putting as putting
from inservice.storage.operations import reading as reading
