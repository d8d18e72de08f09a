/** Answers to read: those of a candidate, and the right ones. */

import {
  isAnswered,
  type Choice,
  type Point,
  type Program,
  type Question,
  type Value,
} from 'invigil-js';
import { RichLine } from './rich';

interface Props {
  question: Question;
  value: Value;
}

export function ValueView({ question, value }: Props) {
  if (value === null || !isAnswered(value)) return <span class="muted">Nothing</span>;
  switch (question.type) {
    case 'single_choice':
      return <Picked from={question.options} ids={[value as string]} />;
    case 'multiple_choice':
      return <Picked from={question.options} ids={value as string[]} />;
    case 'true_false':
      return <>{value ? 'True' : 'False'}</>;
    case 'fill_blank':
      return <Blanks texts={value as string[]} />;
    case 'short_answer':
    case 'essay':
      return <p class="prose">{value as string}</p>;
    case 'coding': {
      const { language, source } = value as Program;
      return (
        <>
          <span class="muted">{language}</span>
          <pre tabIndex={0}>{source}</pre>
        </>
      );
    }
    case 'matching':
      return <Pairs question={question} pairs={value as Record<string, string>} />;
    case 'ordering':
      return <Picked from={question.items} ids={value as string[]} ordered />;
    case 'hotspot':
      return <Picture question={question} points={value as Point[]} regions={[]} />;
  }
}

/** The key as the exam file has it. */
export function KeyView({ question, answer }: { question: Question; answer: unknown }) {
  switch (question.type) {
    case 'fill_blank':
      return <Blanks texts={(answer as Accepted[]).map(accepted)} />;
    case 'short_answer':
      return <>{accepted(answer as Accepted)}</>;
    case 'hotspot':
      return <Picture question={question} points={[]} regions={answer as Region[]} />;
    case 'single_choice':
    case 'multiple_choice':
    case 'true_false':
    case 'essay':
    case 'coding':
    case 'matching':
    case 'ordering':
      return <ValueView question={question} value={answer as Value} />;
  }
}

type Accepted = string | { number: number | string; tolerance?: number | string } | Accepted[];

/** Returns the accepted answers of a blank or of a short answer, as text. */
function accepted(blank: Accepted): string {
  if (typeof blank === 'string') return blank;
  if (Array.isArray(blank)) return blank.map(accepted).join(' / ');
  return Number(blank.tolerance ?? 0) === 0
    ? String(blank.number)
    : `${blank.number} ± ${blank.tolerance}`;
}

function Text({ from, id }: { from: Choice[] | undefined; id: string }) {
  return <RichLine text={from?.find((choice) => choice.id === id)?.text ?? id} />;
}

interface PickedProps {
  from: Choice[] | undefined;
  ids: string[];
  ordered?: boolean;
}

function Picked({ from, ids, ordered = false }: PickedProps) {
  const [only] = ids;
  if (ids.length === 1 && only !== undefined) return <Text from={from} id={only} />;
  const List = ordered ? 'ol' : 'ul';
  return (
    <List class="plain-list">
      {ids.map((id) => (
        <li key={id}>
          <Text from={from} id={id} />
        </li>
      ))}
    </List>
  );
}

function Blanks({ texts }: { texts: string[] }) {
  return (
    <ol class="plain-list">
      {texts.map((text, index) => (
        <li key={index}>{text || <span class="muted">Nothing</span>}</li>
      ))}
    </ol>
  );
}

function Pairs({ question, pairs }: { question: Question; pairs: Record<string, string> }) {
  return (
    <ul class="plain-list">
      {(question.left ?? []).map(({ id, text }) => {
        const right = pairs[id];
        return (
          <li key={id}>
            <RichLine text={text} /> →{' '}
            {right === undefined ? (
              <span class="muted">Nothing</span>
            ) : (
              <Text from={question.right} id={right} />
            )}
          </li>
        );
      })}
    </ul>
  );
}

type Region =
  { shape: 'rect' | 'circle'; coords: number[] } | { shape: 'polygon'; coords: Point[] };

interface PictureProps {
  question: Question;
  points: Point[];
  regions: Region[];
}

function Picture({ question, points, regions }: PictureProps) {
  return (
    <div class="picture picture-small">
      <img src={question.image} alt="" />
      <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
        {regions.map((region, index) => (
          <RegionShape key={index} region={region} />
        ))}
      </svg>
      {points.map(([x, y], index) => (
        <span key={index} class="point" style={{ left: `${x * 100}%`, top: `${y * 100}%` }}>
          {index + 1}
        </span>
      ))}
    </div>
  );
}

function RegionShape({ region }: { region: Region }) {
  if (region.shape === 'polygon') return <polygon points={region.coords.join(' ')} />;
  const [a = 0, b = 0, c = 0, d = 0] = region.coords;
  if (region.shape === 'circle') return <circle cx={a} cy={b} r={c} />;
  return <rect x={a} y={b} width={c - a} height={d - b} />;
}
