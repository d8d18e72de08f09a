import type { Point } from 'invigil-js';
import { useState } from 'preact/hooks';
import { Icon } from '../../shared/icons';
import type { InputProps } from './input-props';

/** More points than any picture asks for. */
const POINTS_MAX = 50;
/** Steps of the cross by an arrow key, alone and with Shift, in fractions of the picture. */
const STEP = 0.01;
const STEP_FAR = 0.1;

/** A picture to point at, with the mouse or with a cross that the arrow keys move. */
export function Hotspot({ question, value, disabled, onEdit }: InputProps<Point[]>) {
  const points = value ?? [];
  const [cross, setCross] = useState<Point>([0.5, 0.5]);
  const [keyboard, setKeyboard] = useState(false);
  const [said, setSaid] = useState('');

  const add = (point: Point) => {
    if (disabled) return;
    const rounded: Point = [round(point[0]), round(point[1])];
    if (!question.multiple) onEdit([rounded]);
    else if (points.length < POINTS_MAX) onEdit([...points, rounded]);
    setSaid(`Point set ${where(rounded)}.`);
  };
  const remove = (index: number) => {
    const next = points.filter((_, at) => at !== index);
    onEdit(next.length > 0 ? next : null);
    setSaid(`Point ${index + 1} removed.`);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const direction = DIRECTIONS[event.key];
    if (direction) {
      const step = event.shiftKey ? STEP_FAR : STEP;
      const next: Point = [
        clamp(cross[0] + direction[0] * step),
        clamp(cross[1] + direction[1] * step),
      ];
      setCross(next);
      setSaid(where(next));
    } else if (event.key === 'Enter' || event.key === ' ') {
      add(cross);
    } else if ((event.key === 'Delete' || event.key === 'Backspace') && points.length > 0) {
      remove(points.length - 1);
    } else {
      return;
    }
    event.preventDefault();
  };

  return (
    <div class="hotspot">
      <p class="hint" id="hotspot-help">
        {question.multiple ? 'Click each place' : 'Click the place'} in the picture. With the
        keyboard: move the cross with the arrow keys (Shift for larger steps), set a point with
        Enter, remove the last one with Delete.
      </p>
      <div
        class={disabled ? 'picture is-disabled' : 'picture'}
        role="application"
        aria-label="Picture to point at"
        aria-describedby="hotspot-help"
        tabIndex={0}
        onKeyDown={disabled ? undefined : onKeyDown}
        onFocus={(event) => setKeyboard(event.currentTarget.matches(':focus-visible'))}
        onBlur={() => setKeyboard(false)}
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          add([
            clamp((event.clientX - box.left) / box.width),
            clamp((event.clientY - box.top) / box.height),
          ]);
        }}
      >
        <img src={question.image} alt="The picture of the question" draggable={false} />
        {points.map(([x, y], index) => (
          <span key={index} class="point" style={{ left: `${x * 100}%`, top: `${y * 100}%` }}>
            {index + 1}
          </span>
        ))}
        {keyboard && !disabled && (
          <span class="cross" style={{ left: `${cross[0] * 100}%`, top: `${cross[1] * 100}%` }} />
        )}
      </div>
      {points.length > 0 && (
        <ol class="points" aria-label="Points that you set">
          {points.map((point, index) => (
            <li key={index}>
              <span class="point-name">{index + 1}</span> {where(point)}
              <button
                class="quiet"
                disabled={disabled}
                aria-label={`Remove point ${index + 1}`}
                onClick={() => remove(index)}
              >
                <Icon name="cross" />
                Remove
              </button>
            </li>
          ))}
        </ol>
      )}
      <p class="visually-hidden" role="status">
        {said}
      </p>
    </div>
  );
}

const DIRECTIONS: Record<string, Point | undefined> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

const clamp = (fraction: number) => Math.min(1, Math.max(0, fraction));
const round = (fraction: number) => Math.round(fraction * 10_000) / 10_000;

function where([x, y]: Point): string {
  return `${Math.round(x * 100)} % from the left, ${Math.round(y * 100)} % from the top`;
}
