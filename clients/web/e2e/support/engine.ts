/** Engines under test: the real program, each on a free port and in a folder of its own. */

import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from './program';

const REPOSITORY = fileURLToPath(new URL('../../../..', import.meta.url));

/** The exam with one question of each of the ten types. */
export const DEMO_ALL = path.join(REPOSITORY, 'config/samples/demo-all.yaml');

/** A running engine. */
export interface Engine {
  url: string;
  stop(): Promise<void>;
}

/** A line of a roster. */
export interface RosterLine {
  id: string;
  name: string;
  role: 'candidate' | 'proctor';
  code: string;
}

/** Exams and people of an engine without servers. */
export interface Content {
  /** Exam files, or exams to write into some. */
  exams: (string | { code: string })[];
  people: RosterLine[];
}

/** Starts an engine that serves this content, and logs into a file. */
export async function serve({ exams, people }: Content, log: string): Promise<Engine> {
  const folder = mkdtempSync(path.join(tmpdir(), 'invigil-e2e-'));
  const write = (name: string, text: string) => {
    const file = path.join(folder, name);
    writeFileSync(file, text);
    return file;
  };
  const files = exams.map((exam) =>
    typeof exam === 'string' ? exam : write(`${exam.code}.json`, JSON.stringify(exam)),
  );
  const roster = write('roster.csv', rosterOf(people));
  const data = path.join(folder, 'data');
  const args = ['serve', '--exam', ...files, '--roster', roster, '--data', data];
  return run(args, log, () => rmSync(folder, { recursive: true, force: true }));
}

/** Starts what `make demo` starts, without its simulated candidates. */
export async function demo(log: string): Promise<Engine> {
  return run(['demo', '--candidates', '0'], log, () => undefined);
}

function rosterOf(people: RosterLine[]): string {
  const lines = people.map(({ id, name, role, code }) => `${id},${name},,${role},${code},*,,`);
  return ['id,name,email,role,code,exams,time_factor,extra_minutes', ...lines, ''].join('\n');
}

async function run(args: string[], log: string, cleanUp: () => void): Promise<Engine> {
  const address = /^listening on (\S+)/;
  try {
    const file = program();
    const engine = await start({ file, args: [...args, '--listen', '127.0.0.1:0'], address, log });
    return {
      url: `http://${engine.address}`,
      async stop() {
        const code = await engine.stop().finally(cleanUp);
        if (code !== 0) throw new Error(`the engine ended with ${code}: see ${log}`);
      },
    };
  } catch (error) {
    cleanUp();
    throw error;
  }
}

/** The program that `INVIGIL_BIN` names, or else the newest that was built here. */
function program(): string {
  const named = process.env['INVIGIL_BIN'];
  if (named !== undefined) return named;
  const target = process.env['CARGO_TARGET_DIR'] ?? path.join(REPOSITORY, 'target');
  const built = ['debug', 'release']
    .map((profile) => path.join(target, profile, 'invigil'))
    .filter((file) => existsSync(file))
    .toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  const [newest] = built;
  if (newest === undefined) {
    throw new Error(`there is no program in ${target}: run cargo build, or set INVIGIL_BIN`);
  }
  return newest;
}
