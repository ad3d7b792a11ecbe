/** Icons, drawn as lines on a grid of 16. */

const PATHS = {
  close: 'M4 4l8 8M12 4l-8 8',
  chevron: 'M6 4l4 4-4 4',
  check: 'M3.5 8.5l3 3 6-7',
  cross: 'M4.5 4.5l7 7M11.5 4.5l-7 7',
  minus: 'M4 8h8',
  plus: 'M8 3.5v9M3.5 8h9',
  clock: 'M8 4.5V8l2.5 1.5M8 14A6 6 0 108 2a6 6 0 000 12z',
  play: 'M5 3.5v9l7-4.5z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  copy: 'M6 6h7v7H6zM3 10V3h7',
  fit: 'M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3',
  map: 'M2.5 4l3.5-1.5 4 1.5 3.5-1.5V12L10 13.5 6 12l-3.5 1.5z',
  follow: 'M3 8h9M8.5 4.5L12 8l-3.5 3.5',
  previous: 'M10 4L6 8l4 4',
  next: 'M6 4l4 4-4 4',
  up: 'M4 10l4-4 4 4',
  down: 'M4 6l4 4 4-4',
  trash: 'M3 4.5h10M6.5 4V2.5h3V4M4.5 4.5l.6 9h5.8l.6-9',
  search: 'M7 11.5a4.5 4.5 0 100-9 4.5 4.5 0 000 9zM10.5 10.5L14 14',
  swap: 'M3 5.5h9.5L10 3M13 10.5H3.5L6 13',
  again: 'M13 8a5 5 0 11-1.6-3.7M13 2.5v3h-3',
  upload: 'M8 10.5V3M5 5.5L8 2.5l3 3M3 11v2.5h10V11',
  // types of nodes
  start: 'M5.5 3.5v9l7-4.5z',
  end: 'M4.5 4.5h7v7h-7z',
  llm: 'M8 2.5l1.5 4 4 1.5-4 1.5-1.5 4-1.5-4-4-1.5 4-1.5z',
  http: 'M8 14A6 6 0 108 2a6 6 0 000 12zM2 8h12M8 2c2 1.8 2.6 3.800 2.600 6S10 12.200 8 14c-2-1.800-2.600-3.800-2.600-6S6 3.800 8 2z',
  code: 'M5.500 4.500L2 8l3.500 3.500M10.500 4.500L14 8l-3.500 3.500',
  condition: 'M8 2l6 6-6 6-6-6z',
  loop: 'M4 6.500A4.500 4.500 0 0112.500 7M12 9.500A4.500 4.500 0 013.500 9M12.500 4v3h-3M3.500 12V9h3',
  variable: 'M5 3C3.500 5.500 3.500 10.500 5 13M11 3c1.500 2.500 1.500 7.500 0 10M6.500 6l3 4M9.500 6l-3 4',
  break: 'M4.500 4.500h7v7h-7z',
  continue: 'M3.500 4l4 4-4 4M9 4l4 4-4 4',
  other: 'M3 3h10v10H3z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

const TYPES: Record<string, IconName> = {
  'block-start': 'start',
  'block-end': 'end',
  'multi-condition': 'condition',
};

export function typeIcon(type: string): IconName {
  return TYPES[type] ?? (type in PATHS ? (type as IconName) : 'other');
}
