import { describe, expect, it } from 'vitest';
import { inNamespace, tasksOf } from '../src/api/namespace';

describe('inNamespace', () => {
  it('keeps the namespace from page to page', () => {
    expect(inNamespace('/tasks/a', 'team-b')).toBe('/tasks/a?ns=team-b');
    expect(inNamespace('/compare?a=1&b=2', 'team-b')).toBe('/compare?a=1&b=2&ns=team-b');
    expect(inNamespace('/run', '')).toBe('/run');
  });

  it('goes to the namespace that a path names, and back to the own one', () => {
    expect(inNamespace(tasksOf('other'), 'team-b')).toBe('/?ns=other');
    expect(inNamespace(tasksOf(''), 'team-b')).toBe('/');
    expect(inNamespace(`${tasksOf('')}&status=failed`, 'team-b')).toBe('/?status=failed');
  });
});
