// Sends a file as many times as it is told, by Node's own fetch.
//   node upload.mjs URL BYTES TIMES [TOKEN]      prints the status of each answer on a line
const [url, bytes, times, token] = process.argv.slice(2);
for (let number = 0; number < Number(times); number++) {
  const body = new FormData();
  body.append("body", new Blob([new Uint8Array(Number(bytes))]), "f");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  try {
    const answer = await fetch(url, { method: "POST", body, headers });
    await answer.arrayBuffer();
    console.log(answer.status);
  } catch (error) {
    console.log(`${error} ${error.cause ?? ""}`);
  }
}
