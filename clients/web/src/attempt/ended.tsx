import { CloseCode, type Outcome, type State } from 'invigil-js';
import type { ComponentChildren } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { BrandBar } from '../shared/brand';
import { moment } from '../shared/format';
import { ResultView } from '../shared/result-view';
import { leaveSeat } from '../shared/session';

interface Props {
  state: State;
  title: string;
}

/** The last page of an attempt: nothing goes on by itself from here. */
export function Ended({ state, title }: Props) {
  const { link, outcome, status } = state;
  useEffect(() => {
    document.title = `${title} · Invigil`;
    scrollTo({ top: 0 });
  }, [title]);
  if (outcome) return <HandedIn outcome={outcome} state={state} title={title} />;
  if (
    link.kind === 'ended' &&
    link.code >= CloseCode.BAD_MESSAGE &&
    link.code !== CloseCode.CLOSED
  ) {
    return (
      <Page title={title}>
        <Explanation code={link.code} detail={link.detail} />
      </Page>
    );
  }
  return (
    <Page title={title}>
      <p role="status">
        {status === 'cancelled'
          ? 'This attempt was cancelled.'
          : 'Your exam is handed in. One moment …'}
      </p>
    </Page>
  );
}

function Page({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <>
      <BrandBar />
      <main class="page">
        <p>
          <a href="/">← My exams</a>
        </p>
        <h1>{title}</h1>
        {children}
      </main>
    </>
  );
}

const HANDED_IN_WORDS: Record<NonNullable<Outcome['handed_in']>, string> = {
  candidate: 'You handed in',
  time: 'The time was over: your exam was handed in by itself',
  staff: 'Your exam was handed in by your supervisor',
};

function HandedIn({ outcome, state, title }: { outcome: Outcome; state: State; title: string }) {
  const { status, handed_in, at, receipt, result } = outcome;
  useEffect(leaveSeat, []);
  const file = useMemo(() => (receipt === undefined ? null : fileOf(receipt)), [receipt]);
  if (status === 'cancelled') {
    return (
      <Page title={title}>
        <p class="note note-bad" role="status">
          This attempt was cancelled{state.reason ? `: ${state.reason}` : '.'}
        </p>
      </Page>
    );
  }
  const link = file && (
    <a class="button" href={file} download={`receipt-${state.attemptId}.json`}>
      Download the receipt
    </a>
  );
  return (
    <Page title={title}>
      <p class="note note-good" role="status">
        <strong>{handed_in ? HANDED_IN_WORDS[handed_in] : 'Your exam is handed in'}</strong>
        {at !== undefined && ` on ${moment(at)}`}. All your answers are saved.
      </p>
      {result && state.paper.sections ? (
        <ResultView result={result} sections={state.paper.sections} receipt={link} />
      ) : (
        <>
          <p>The result will be under “My exams” as soon as it is out.</p>
          {link}
        </>
      )}
    </Page>
  );
}

function fileOf(receipt: unknown): string {
  const text = JSON.stringify(receipt, null, 2);
  return URL.createObjectURL(new Blob([text], { type: 'application/json' }));
}

function Explanation({ code, detail }: { code: number; detail: string | undefined }) {
  switch (code) {
    case CloseCode.SUPERSEDED:
      return (
        <div class="card" role="alert">
          <h2>This exam was opened elsewhere</h2>
          <p>
            It goes on in another tab, window or device, with all answers that you gave here. If
            that was you, you can close this page.
          </p>
          <button class="primary" onClick={() => location.reload()}>
            Continue here instead
          </button>
        </div>
      );
    case CloseCode.UNAUTHORIZED:
      return (
        <div class="card" role="alert">
          <h2>Please sign in again</h2>
          <p>Your admission to this attempt has expired. Your answers are kept.</p>
          <a class="button primary" href="/">
            Sign in
          </a>
        </div>
      );
    case CloseCode.FORBIDDEN:
      return (
        <div class="card" role="alert">
          <h2>This exam cannot be entered from here</h2>
          <p>
            {detail?.includes('another_device')
              ? 'It is open on another device. Ask your supervisor to release it.'
              : detail || 'The rules of the exam do not allow it. Ask your supervisor.'}
          </p>
          <button class="primary" onClick={() => location.reload()}>
            Try again
          </button>
        </div>
      );
    default:
      return (
        <div class="card" role="alert">
          <h2>Something went wrong</h2>
          <p>This page and the server did not understand each other. Your answers are kept.</p>
          <button class="primary" onClick={() => location.reload()}>
            Load the exam again
          </button>
        </div>
      );
  }
}
