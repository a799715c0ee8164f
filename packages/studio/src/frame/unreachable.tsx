import type { ErrorComponentProps } from "@tanstack/react-router";
import { Failure } from "./notice.tsx";

export function Unreachable({ error }: ErrorComponentProps) {
  return (
    <main>
      <Failure
        title="The page could not be shown"
        error={error}
        onRetry={() => location.reload()}
      />
    </main>
  );
}
