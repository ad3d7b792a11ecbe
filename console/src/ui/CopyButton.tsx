import { useEffect, useState } from 'react';
import { texts } from '../texts';
import { Icon } from './Icon';

const SHOWN = 1500;

/** Copies a text; `text` is asked when the button is pressed. */
export function CopyButton({ text, label = texts.common.copy }: { text: () => string; label?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), SHOWN);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    copyText(text()).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <button type="button" className="quiet icon-button copy" aria-label={copied ? texts.common.copied : label} title={copied ? texts.common.copied : label} onClick={copy}>
      <Icon name={copied ? 'check' : 'copy'} size={14} />
    </button>
  );
}

async function copyText(text: string): Promise<void> {
  const clipboard = (navigator as Partial<Navigator>).clipboard;
  if (clipboard) {
    await clipboard.writeText(text);
    return;
  }
  // A page that is served without TLS has no clipboard of its own.
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'visually-hidden';
  (document.querySelector('dialog[open]') ?? document.body).append(area);
  area.select();
  const done = document.execCommand('copy'); // eslint-disable-line @typescript-eslint/no-deprecated -- the only way there
  area.remove();
  if (!done) throw new Error('not copied');
}
