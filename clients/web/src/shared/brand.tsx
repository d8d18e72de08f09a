import type { ComponentChildren } from 'preact';

/** The bar above every page but the exam itself. */
export function BrandBar({ children }: { children?: ComponentChildren }) {
  return (
    <header class="bar">
      <a class="brand" href="/">
        <img src="/favicon.svg" alt="" width="28" height="28" />
        Invigil
      </a>
      {children}
    </header>
  );
}
