import { Component, type ReactNode } from 'react';
import { texts } from '../texts';
import { Notice } from './Notice';

interface Props {
  children: ReactNode;
  /** Shown in place of what failed. */
  fallback?: ReactNode;
}

/** Keeps a defect of one part from taking the page with it. */
export class ErrorBoundary extends Component<Props, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      this.props.fallback ?? (
        <Notice title={texts.errors.crashed}>
          <p>{texts.errors.crashedHint}</p>
          <button type="button" onClick={() => window.location.reload()}>
            {texts.errors.reload}
          </button>
        </Notice>
      )
    );
  }
}
