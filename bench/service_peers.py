"""Peers that do the same work, from npm: Node with busboy and the AWS SDK, and @tus/server with its S3 store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = ["busboy@1.6.0", "@aws-sdk/client-s3@3", "@aws-sdk/lib-storage@3", "@tus/server@2", "@tus/s3-store@2"]

BUSBOY = """
import http from 'node:http'; import {createHash, randomUUID} from 'node:crypto'; import {Transform} from 'node:stream';
import busboy from 'busboy'; import {S3Client} from '@aws-sdk/client-s3'; import {Upload} from '@aws-sdk/lib-storage';
const e = process.env;
const client = new S3Client({endpoint: e.S3, region: 'us-east-1', forcePathStyle: true,
  credentials: {accessKeyId: e.KEY, secretAccessKey: e.SECRET}});
http.createServer((req, res) => {
  const bb = busboy({headers: req.headers});
  bb.on('file', async (_name, file) => {
    const sha = createHash('sha256');
    const tee = new Transform({transform(c, _e, next) { sha.update(c); next(null, c); }});
    file.pipe(tee);
    try {
      const Key = randomUUID();
      await new Upload({client, queueSize: 2, partSize: 8 << 20, params: {Bucket: e.BUCKET, Key, Body: tee}}).done();
      res.writeHead(201, {'content-type': 'application/json'});
      res.end(JSON.stringify({uuid: Key, checksum: sha.digest('hex')}));
    } catch (error) { res.writeHead(500); res.end(String(error)); }
  });
  req.pipe(bb);
}).listen(+e.PORT, '127.0.0.1');
"""

TUS = """
import {Server} from '@tus/server'; import {S3Store} from '@tus/s3-store';
const e = process.env;
const datastore = new S3Store({partSize: 8 << 20, s3ClientConfig: {bucket: e.BUCKET, endpoint: e.S3,
  region: 'us-east-1', forcePathStyle: true, credentials: {accessKeyId: e.KEY, secretAccessKey: e.SECRET}}});
new Server({path: '/files', datastore}).listen({host: '127.0.0.1', port: +e.PORT});
"""


def prepare(cache: Path) -> str | None:
    """Install the peers once.

    Args:
        cache: where node_modules goes.

    Returns:
        None, or why the peers cannot run.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "needs node and npm: apt-get install nodejs npm"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "busboy.mjs").write_text(BUSBOY)
    (cache / "tus.mjs").write_text(TUS)
    stamp = cache / "installed.json"
    if stamp.exists() and json.loads(stamp.read_text()) == PACKAGES:
        return None
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(cache), *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "npm_config_update_notifier": "false"},
    )
    if done.returncode:
        return f"npm install failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:150]}"
    stamp.write_text(json.dumps(PACKAGES))
    return None
