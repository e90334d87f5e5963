"""Binds a bucket to an ARN in the wrong case, as an operator with another tool might; the server takes it."""

import boto3

WRONG = {"QueueConfigurations": [{"QueueArn": "arn:rustfs:sqs::QATLAS:webhook", "Events": ["s3:ObjectCreated:*"]}]}
boto3.client("s3").put_bucket_notification_configuration(Bucket="filator", NotificationConfiguration=WRONG)
