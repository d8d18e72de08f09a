import { startDevServer } from './support/dev-server';
import { expect, test } from './support/test';

test('an exam can be taken at the development server', async ({
  engine,
  otherComputer,
  look,
}, info) => {
  const server = await startDevServer(engine.url, info.outputPath('vite.log'));
  try {
    const exam = await otherComputer(server.url);
    const sockets: string[] = [];
    exam.page.on('websocket', (socket) => {
      socket.on('framereceived', ({ payload }) => {
        const isWelcome = typeof payload === 'string' && payload.includes('"t":"welcome"');
        if (isWelcome) sockets.push(new URL(socket.url()).host);
      });
    });
    await exam.start('Plain exam');
    await exam.answer.fill('yes');
    await exam.saved();
    expect(await exam.stored('q1')).toMatchObject({ value: 'yes' });
    expect(sockets, 'one socket, through the development server').toEqual([
      new URL(server.url).host,
    ]);
    await look('development-server', exam);
  } finally {
    await server.stop();
  }
});
