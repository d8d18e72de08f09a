// A network line to the engine that can be cut: connections die and new ones are refused,
// which is what a browser sees of a pulled cable.

import net from 'node:net';

/** Opens a line to `target`; `url` is its near end. */
export async function openLine(target) {
  const { hostname, port } = new URL(target);
  const open = new Set();
  let cut = false;
  let socketsRefused = false;

  const server = net.createServer((near) => {
    near.on('error', () => undefined);
    if (cut) return near.destroy();
    const far = net.connect(Number(port), hostname);
    const pair = { near, far, upgraded: false };
    open.add(pair);
    const close = () => {
      open.delete(pair);
      near.destroy();
      far.destroy();
    };
    near.on('data', (bytes) => {
      if (bytes.subarray(0, 8).toString('latin1') === 'GET /ws/') {
        pair.upgraded = true;
        if (socketsRefused) return close();
      }
      far.write(bytes);
    });
    far.on('data', (bytes) => near.write(bytes));
    for (const end of [near, far]) end.on('error', close).on('close', close);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  const kill = (which) => {
    for (const { near, far } of [...open].filter(which)) {
      near.destroy();
      far.destroy();
    }
  };
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut() {
      cut = true;
      kill(() => true);
    },
    mend() {
      cut = false;
      socketsRefused = false;
    },
    /** Lets requests through but no WebSocket, as some networks do. */
    refuseSockets() {
      socketsRefused = true;
      kill(({ upgraded }) => upgraded);
    },
    close() {
      kill(() => true);
      server.close();
    },
  };
}
