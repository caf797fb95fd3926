export { backup } from './backup.ts';
export { cleanup } from './cleanup.ts';
export { drill } from './drill.ts';
export { lock } from './lock.ts';
export { notify } from './notify.ts';
export { preview } from './preview.ts';
export { restore } from './restore.ts';
export { verify } from './verify.ts';
