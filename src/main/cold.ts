import { z } from 'zod';

// A process that checks a handful of documents and ends: compiling the checks into functions, as zod does, takes longer than they do.
z.config({ jitless: true });
