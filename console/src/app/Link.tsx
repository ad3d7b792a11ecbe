import type { ComponentProps, MouseEvent } from 'react';
import { inNamespace } from '../api/namespace';
import { navigate } from './router';

/** A link within this page. With a modifier key the browser does what it does with any link. */
export function Link({ href, onClick, ...rest }: ComponentProps<'a'> & { href: string }) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(href);
    window.scrollTo(0, 0);
  };
  return <a href={inNamespace(href)} onClick={follow} {...rest} />;
}
