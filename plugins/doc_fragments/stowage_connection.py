"""Documentation that the access and bucket modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection options, and the notes that go with them."""

    DOCUMENTATION = r"""
options:
  endpoint:
    description:
      - URL of the store as the controller reaches it, V(http(s)://host[:port]) without a path.
      - Falls back to E(QATLAS_S3_ENDPOINT), then E(AWS_ENDPOINT_URL_S3), then E(AWS_ENDPOINT_URL).
    type: str
  access_key:
    description:
      - Access key of an administrator of the store; for RustFS and MinIO usually the root key.
      - Falls back to E(QATLAS_S3_ACCESS_KEY_ID), then E(AWS_ACCESS_KEY_ID).
    type: str
  secret_key:
    description:
      - Secret that goes with O(access_key).
      - Falls back to E(QATLAS_S3_SECRET_ACCESS_KEY), then E(AWS_SECRET_ACCESS_KEY).
    type: str
  region:
    description: Region in the signature. RustFS, MinIO and SeaweedFS take any; AWS wants its own.
    type: str
    default: us-east-1
  addressing_style:
    description: Whether the bucket stands in the path or in the host name.
    type: str
    choices: [path, virtual, auto]
    default: path
  ca_bundle:
    description:
      - PEM file, on the controller, of the authority that signed the store's certificate.
      - Falls back to E(AWS_CA_BUNDLE), then to the authorities of the system.
    type: path
  validate_certs:
    description: V(false) takes any certificate, whatever O(ca_bundle) says. Better give that one.
    type: bool
    default: true
  driver:
    description:
      - How the store keeps users, keys and policies.
      - V(iam) is AWS's own API, spoken by SeaweedFS, Ceph and AWS; V(rustfs) is RustFS's admin API; V(minio) is the
        admin API of MinIO and its descendants.
    type: str
    choices: [iam, rustfs, minio]
    default: iam
  connect_timeout:
    description: Seconds until a connection must stand.
    type: float
    default: 5
  read_timeout:
    description: Seconds between two bytes of an answer.
    type: float
    default: 60
  max_attempts:
    description: Tries per request, the first included. Only faults of the line are tried again.
    type: int
    default: 3
  check_unreachable:
    description:
      - What check mode makes of a store that can not be reached.
      - With V(assume_absent) it counts as an empty one, with a warning, so that a check of a fresh site predicts
        everything instead of failing on the first store that is not there yet.
      - Outside check mode an unreachable store always fails.
    type: str
    choices: [fail, assume_absent]
    default: fail
requirements:
  - The Python package C(stowage) of this repository, on the host that runs the module (the controller, as a rule).
notes:
  - The modules run where the Python package is, so give them C(delegate_to=localhost) or run them in a play on it
    with C(ansible_python_interpreter={{ ansible_playbook_python }}).
  - A list form (for example several buckets in one call) saves about half a second for each object.
"""
