"""Spoil what playbooks/access.yml has made, with plain boto3. Endpoint and key come from the environment."""

import json

import boto3

s3, iam = boto3.client("s3"), boto3.client("iam")
s3.put_bucket_versioning(Bucket="filator", VersioningConfiguration={"Status": "Suspended"})
arn = next(p["Arn"] for p in iam.list_policies(Scope="Local")["Policies"] if p["PolicyName"] == "filator-assets-rw")
iam.detach_user_policy(UserName="filator", PolicyArn=arn)
iam.delete_policy(PolicyArn=arn)
all_buckets = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}
everything = {"Version": "2012-10-17", "Statement": [all_buckets]}
iam.create_policy(PolicyName="filator-assets-rw", PolicyDocument=json.dumps(everything))
