import { useRef, useState } from 'preact/hooks';
import { Icon } from '../../shared/icons';
import { RichLine } from '../../shared/rich';
import type { InputProps } from './input-props';

/** A list to put in order: by dragging, by its buttons, or with the arrow keys. */
export function Ordering({ question, value, disabled, onEdit }: InputProps<string[]>) {
  const items = question.items ?? [];
  const order = [
    ...(value ?? []),
    ...items.map(({ id }) => id).filter((id) => !value?.includes(id)),
  ];
  const [dragged, setDragged] = useState<string | null>(null);
  const [said, setSaid] = useState('');
  const list = useRef<HTMLOListElement>(null);

  const move = (id: string, to: number, focus?: string) => {
    if (to < 0 || to >= order.length || order[to] === id) return;
    const next = order.filter((other) => other !== id);
    next.splice(to, 0, id);
    onEdit(next);
    setSaid(`Moved to place ${to + 1} of ${order.length}.`);
    // The item was drawn anew elsewhere; the focus stays on it.
    if (focus) {
      requestAnimationFrame(() => {
        const item = list.current?.children[to];
        const button = item?.querySelector<HTMLButtonElement>(`[data-move="${focus}"]`);
        if (button?.disabled) item?.querySelector<HTMLButtonElement>('[data-move="grip"]')?.focus();
        else button?.focus();
      });
    }
  };

  return (
    <div class="ordering" role="group" aria-label="Put the items in order">
      <ol ref={list}>
        {order.map((id, index) => (
          <li
            key={id}
            class={dragged === id ? 'is-dragged' : ''}
            draggable={!disabled}
            onDragStart={(event) => {
              event.dataTransfer?.setData('text/plain', id);
              setDragged(id);
            }}
            onDragEnd={() => setDragged(null)}
            onDragOver={(event) => {
              if (dragged !== null) event.preventDefault();
            }}
            onDrop={(event) => {
              event.preventDefault();
              if (dragged !== null) move(dragged, index);
              setDragged(null);
            }}
          >
            <button
              class="grip"
              data-move="grip"
              disabled={disabled}
              aria-label={`Item at place ${index + 1}: move with the arrow keys`}
              onKeyDown={(event) => {
                const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
                if (step === undefined) return;
                event.preventDefault();
                move(id, index + step, 'grip');
              }}
            >
              <Icon name="grip" />
            </button>
            <span class="place">{index + 1}</span>
            <RichLine text={items.find((item) => item.id === id)?.text ?? id} />
            <span class="movers">
              <button
                data-move="up"
                disabled={disabled || index === 0}
                aria-label={`Move up from place ${index + 1}`}
                onClick={() => move(id, index - 1, 'up')}
              >
                <Icon name="up" />
              </button>
              <button
                data-move="down"
                disabled={disabled || index + 1 === order.length}
                aria-label={`Move down from place ${index + 1}`}
                onClick={() => move(id, index + 1, 'down')}
              >
                <Icon name="down" />
              </button>
            </span>
          </li>
        ))}
      </ol>
      {value === null && (
        <p class="hint">
          Not answered yet: move an item, or{' '}
          <button disabled={disabled} onClick={() => onEdit(order)}>
            answer with this order
          </button>
        </p>
      )}
      <p class="visually-hidden" role="status">
        {said}
      </p>
    </div>
  );
}
