import type { ReactNode } from 'react';
import { texts } from '../texts';

/** A calm text in place of content that is not there. */
export function Notice({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="notice">
      <h1>{title}</h1>
      {children}
    </div>
  );
}

export function Loading() {
  return (
    <div className="notice loading" role="status">
      <span className="spinner" aria-hidden="true" />
      {texts.common.loading}
    </div>
  );
}
