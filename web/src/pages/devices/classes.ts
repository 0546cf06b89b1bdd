/** Pictures of classes, paths of 24 × 24 as in Icon.svelte, and what they are called. */
const classes = {
  server: ['server', 'M4 4h16v7H4zM4 13h16v7H4zM7.500 7.500h.01M7.500 16.500h.01M11 7.500h6M11 16.500h6'],
  workstation: ['workstation', 'M3 5h18v11H3zM9 20h6M12 16v4'],
  laptop: ['laptop', 'M5 5h14v10H5zM2.500 19h19'],
  phone: ['phone', 'M7.500 3h9v18h-9zM11 18h2'],
  tablet: ['tablet', 'M5 3h14v18H5zM11 18h2'],
  printer: ['printer', 'M7 9V3.500h10V9M7 17H4V9h16v8h-3M7 14h10v6.500H7z'],
  camera: ['camera', 'M4 8h11v9H4zM15 11l5-3v9l-5-3z'],
  switch: ['switch', 'M3 8h18v8H3zM6.500 12h2M11 12h2M15.500 12h2'],
  router: ['router', 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 7v10M7 12h10M10 9l2-2 2 2M10 15l2 2 2-2'],
  firewall: [
    'firewall',
    'M4 5h16v14H4zM4 9.700h16M4 14.300h16M12 5v4.700M8 9.700v4.600M16 9.700v4.600M12 14.300V19',
  ],
  'access point': [
    'access point',
    'M5 17h14v3H5zM12 17v-4M8.500 9.500a5 5 0 0 1 7 0M5.500 6.500a9.200 9.200 0 0 1 13 0',
  ],
  storage: [
    'storage',
    'M12 4c4.400 0 8 1.100 8 2.500v11c0 1.400-3.600 2.500-8 2.500s-8-1.100-8-2.500v-11C4 5.100 7.600 4 12 4zM4 6.500C4 7.900 7.600 9 12 9s8-1.100 8-2.500M4 12c0 1.400 3.600 2.500 8 2.500s8-1.100 8-2.500',
  ],
  hypervisor: ['hypervisor', 'M4 4h16v16H4zM7.500 7.500h4v4h-4zM13.500 13h3.500v3.500h-3.500z'],
  'virtual machine': ['virtual machine', 'M5 5h14v14H5zM9 9h6v6H9z'],
  industrial: ['industrial', 'M3 20V10l6 4v-4l6 4V4h5v16zM3 20h18'],
  iot: ['IoT', 'M9 9h6v6H9zM12 3v6M12 15v6M3 12h6M15 12h6'],
  ups: ['UPS', 'M5 7h14v12H5zM9 4h6M13 9.500L10 13.500h4l-3 4'],
  voip: [
    'VoIP phone',
    'M4 10c0-3 3.600-5 8-5s8 2 8 5l-4 1.500V9.500H8v2L4 10zM6 19c0-4 2.500-6 6-6s6 2 6 6z',
  ],
  tv: ['TV', 'M3 6h18v11H3zM8 20.500h8M12 17v3'],
} as const;

export type DeviceClass = keyof typeof classes;

const unknownPath =
  'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM9.500 10a2.500 2.500 0 1 1 3.500 2.300c-.700.300-1 .800-1 1.500M12 16.500h.01';

/** Spellings of observers for one class: "access_point", "access-point", "AP". */
function classKey(text: string): DeviceClass | null {
  const plain = text.toLowerCase().replaceAll(/[-_]/g, ' ').trim();
  const same: Record<string, DeviceClass> = {
    ap: 'access point',
    wlan: 'access point',
    nas: 'storage',
    vm: 'virtual machine',
    desktop: 'workstation',
    pc: 'workstation',
    mobile: 'phone',
    smartphone: 'phone',
    bridge: 'switch',
    telephone: 'voip',
    'voip phone': 'voip',
    ics: 'industrial',
    plc: 'industrial',
  };
  const key = same[plain] ?? plain;
  return Object.hasOwn(classes, key) ? (key as DeviceClass) : null;
}

/** What a class is called; what is not known is said so. */
export function classWord(text: string): string {
  const key = classKey(text);
  return key ? classes[key][0] : text || 'unclassified';
}

/** Its picture, as a path of SVG. */
export function classPath(text: string): string {
  const key = classKey(text);
  return key ? classes[key][1] : unknownPath;
}

const carrying: readonly DeviceClass[] = ['switch', 'router', 'access point', 'firewall'];

/** Whether devices of this class carry what others send. */
export function carries(text: string): boolean {
  const key = classKey(text);
  return key !== null && carrying.includes(key);
}
