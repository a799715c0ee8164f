import { Alert, Button, PasswordInput, Stack } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { explain, tellDone } from "../frame/explanation.ts";
import { callAccount } from "../session/session.ts";
import { SESSIONS } from "./session-list.tsx";

export function PasswordForm() {
  const queries = useQueryClient();
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const change = useMutation({
    mutationFn: () =>
      callAccount("POST", "/api/v1/auth/password", { current_password: old, new_password: fresh }),
    onSuccess: async () => {
      setOld("");
      setFresh("");
      tellDone("The password is changed; other sessions have ended");
      await queries.invalidateQueries({ queryKey: SESSIONS });
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <section className="card" aria-labelledby="password-title">
      <h2 id="password-title" style={{ margin: 0 }}>
        Change the password
      </h2>
      <form onSubmit={submit}>
        <Stack p="md" maw={420}>
          {change.error !== null && (
            <Alert color="red" variant="outline" role="alert" title={explain(change.error).message}>
              {explain(change.error).hint}
            </Alert>
          )}
          <PasswordInput
            label="Current password"
            required
            autoComplete="current-password"
            value={old}
            onChange={(event) => setOld(event.currentTarget.value)}
          />
          <PasswordInput
            label="New password"
            description="At least 10 characters. All other sessions end."
            required
            minLength={10}
            autoComplete="new-password"
            value={fresh}
            onChange={(event) => setFresh(event.currentTarget.value)}
          />
          <Button type="submit" loading={change.isPending} w="fit-content">
            Change the password
          </Button>
        </Stack>
      </form>
    </section>
  );
}
