import { useEffect, useState } from 'preact/hooks';
import { arrange, type Result, type Section } from 'invigil-js';
import * as api from '../shared/api';
import { ResultView } from '../shared/result-view';

interface Props {
  attempt: string;
  exams: api.Exam[];
}

type Loaded = { result: Result; sections: Section[] } | { error: string } | null;

const WORDS: Record<string, string> = {
  not_released: 'The result of this attempt is not out yet.',
  not_handed_in: 'This attempt is not handed in yet.',
  not_found: 'There is no such attempt.',
};

export function ResultPage({ attempt, exams }: Props) {
  const [loaded, setLoaded] = useState<Loaded>(null);
  const exam = exams.find(({ attempts }) => attempts.some(({ id }) => id === attempt));

  useEffect(() => {
    document.title = `Result · ${exam?.title ?? 'Invigil'}`;
    setLoaded(null);
    Promise.all([api.result(attempt), api.paper(attempt)])
      .then(([result, paper]) =>
        setLoaded({ result, sections: arrange(paper.sections, paper.order) }),
      )
      .catch((problem: unknown) => {
        if (!(problem instanceof api.Problem)) throw problem;
        setLoaded({ error: WORDS[problem.code] ?? problem.message });
      });
  }, [attempt, exam?.title]);

  return (
    <>
      <p>
        <a href="#exams">← My exams</a>
      </p>
      <h1>{exam?.title ?? 'Result'}</h1>
      {loaded === null && <p role="status">Loading …</p>}
      {loaded && 'error' in loaded && (
        <p role="alert" class="note note-bad">
          {loaded.error}
        </p>
      )}
      {loaded && 'result' in loaded && (
        <ResultView
          result={loaded.result}
          sections={loaded.sections}
          receipt={
            <a class="button" href={api.receiptUrl(attempt)} download={`receipt-${attempt}.json`}>
              Download the receipt
            </a>
          }
        />
      )}
    </>
  );
}
