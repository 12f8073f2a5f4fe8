// Node's fetch, which is undici, and Debian's node-undici where it is installed, against a running
// examples/demo.
//
//     usage: node undici.js builtin PORT
//            NODE_PATH=/usr/share/nodejs node undici.js package PORT
//
// Prints a line for each check: PASS or FAIL, a tab, what, a tab, the figure.
'use strict';

const assert = require('node:assert');
const [which, port] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}`;

const undici = which === 'package' ? require('undici') : null;
const fetch = undici ? undici.fetch : globalThis.fetch;
const FormData = undici ? undici.FormData : globalThis.FormData;

async function text(target, options) {
  const answer = await fetch(base + target, options);
  const body = await answer.text();
  assert.strictEqual(answer.status, 200, `${target}: ${answer.status}`);
  return body;
}

const checks = {
  async 'fetch, one by one'() {
    const peers = new Set();
    for (let i = 0; i < 100; i++) peers.add(JSON.parse(await text('/info')).peer);
    // The second request may be on its way before the first one's connection is free again.
    assert.ok(peers.size <= 2, [...peers].join());
    return `100 requests, ${peers.size} connections`;
  },
  async 'fetch, 100 at once'() {
    const bodies = await Promise.all(Array.from({ length: 100 }, (_, i) => text(`/hello/n${i}`)));
    bodies.forEach((body, i) => assert.strictEqual(body, `hello, n${i}\n`));
    return '100 answers, each its own';
  },
  async 'fetch POST of FormData'() {
    const form = new FormData();
    form.append('field', 'välue');
    form.append('second', 'x'.repeat(70000));
    const answer = await fetch(`${base}/echo`, { method: 'POST', body: form });
    const type = answer.headers.get('content-type');
    const body = await answer.text();
    assert.match(type, /^multipart\/form-data; boundary=/);
    assert.ok(body.includes('name="field"\r\n\r\nvälue\r\n'), body.slice(0, 200));
    return `${Buffer.byteLength(body)} bytes back`;
  },
  async 'fetch POST of a stream'() {
    async function* pieces() {
      for (let i = 0; i < 100; i++) yield Buffer.from(`piece ${i}\n`);
    }
    const body = await text('/echo', { method: 'POST', body: pieces(), duplex: 'half' });
    assert.strictEqual(body.split('\n').length, 101);
    return '100 chunks back';
  },
  async 'fetch of a chunked answer'() {
    const body = await text('/stream?n=20&ms=5');
    assert.ok(body.endsWith('chunk 20 of 20\n'), body);
    return '20 chunks';
  },
  async 'fetch HEAD'() {
    const answer = await fetch(`${base}/bytes?n=1000`, { method: 'HEAD' });
    assert.strictEqual(answer.headers.get('content-length'), '1000');
    assert.strictEqual(await answer.text(), '');
    return 'Content-Length 1000, no body';
  },
};

if (undici) {
  checks['Client with pipelining 16'] = async () => {
    const client = new undici.Client(base, { pipelining: 16 });
    let connections = 0;
    client.on('connect', () => connections++);
    const n = 1000;
    await Promise.all(
      Array.from({ length: n }, async (_, i) => {
        const answer = await client.request({ path: `/hello/n${i}`, method: 'GET' });
        assert.strictEqual(answer.statusCode, 200);
        assert.strictEqual(await answer.body.text(), `hello, n${i}\n`);
      }),
    );
    await client.close();
    assert.strictEqual(connections, 1);
    return `${n} requests, ${connections} connection`;
  };
}

(async () => {
  for (const [what, check] of Object.entries(checks)) {
    try {
      console.log(['PASS', what, await check()].join('\t'));
    } catch (problem) {
      const why = `${problem.message} ${problem.cause ?? ''}`;
      console.log(['FAIL', what, why.replace(/\s+/g, ' ').slice(0, 300)].join('\t'));
    }
  }
  process.exit(0); // fetch keeps its connections
})();
