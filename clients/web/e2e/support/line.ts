/**
 * A network line to the engine that can be cut. Connections die and new ones are refused, as a
 * browser sees a pulled cable.
 */

import { once } from 'node:events';
import net from 'node:net';

/** A connection through the line. */
interface Pair {
  near: net.Socket;
  far: net.Socket;
  isWebSocket: boolean;
}

/** A line between a browser and an engine; `url` is the browser's end. */
export class Line {
  readonly #server: net.Server;
  readonly #open = new Set<Pair>();
  #isCut = false;
  #refusesSockets = false;

  private constructor(target: URL) {
    this.#server = net.createServer((near) => this.#accept(near, target));
  }

  static async open(target: string): Promise<Line> {
    const line = new Line(new URL(target));
    line.#server.listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    return line;
  }

  get url(): string {
    const { port } = this.#server.address() as net.AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  cut(): void {
    this.#isCut = true;
    this.#kill(() => true);
  }

  /** Lets requests through but no WebSocket, as some networks do. */
  refuseSockets(): void {
    this.#refusesSockets = true;
    this.#kill(({ isWebSocket }) => isWebSocket);
  }

  mend(): void {
    this.#isCut = false;
    this.#refusesSockets = false;
  }

  close(): void {
    this.#kill(() => true);
    this.#server.close();
  }

  #accept(near: net.Socket, target: URL): void {
    near.on('error', () => undefined);
    if (this.#isCut) {
      near.destroy();
      return;
    }
    const far = net.connect(Number(target.port), target.hostname);
    const pair = { near, far, isWebSocket: false };
    this.#open.add(pair);
    const close = () => {
      this.#open.delete(pair);
      near.destroy();
      far.destroy();
    };
    near.on('data', (bytes: Buffer) => {
      if (bytes.subarray(0, 8).toString('latin1') === 'GET /ws/') {
        pair.isWebSocket = true;
        if (this.#refusesSockets) return close();
      }
      far.write(bytes);
    });
    far.on('data', (bytes: Buffer) => near.write(bytes));
    for (const end of [near, far]) end.on('error', close).on('close', close);
  }

  #kill(which: (pair: Pair) => boolean): void {
    for (const { near, far } of [...this.#open].filter(which)) {
      near.destroy();
      far.destroy();
    }
  }
}
