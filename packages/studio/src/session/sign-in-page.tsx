import {
  Alert,
  Anchor,
  Button,
  Divider,
  PasswordInput,
  Stack,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";
import { Brand } from "../frame/brand.tsx";
import { explain } from "../frame/explanation.ts";
import { fieldsOf } from "../frame/form-fields.ts";
import { signIn, signInSettings, signUp } from "./session.ts";

const WORDS = {
  first: {
    title: "Set up Insien",
    about: "The first account is the administrator's.",
    verb: "Create the account",
  },
  up: {
    title: "Create an account",
    about: "Your sandboxes and keys belong to it.",
    verb: "Sign up",
  },
  in: { title: "Sign in", about: "Welcome back.", verb: "Sign in" },
} as const;

export function SignInPage() {
  const settings = useQuery({ queryKey: ["sign-in-settings"], queryFn: signInSettings });
  const { to } = useSearch({ from: "/sign-in" });
  const navigate = useNavigate();
  const [wantsAccount, setWantsAccount] = useState(false);
  const mode = settings.data?.needs_first_account === true ? "first" : wantsAccount ? "up" : "in";
  const { title, about, verb } = WORDS[mode];
  useDocumentTitle(`${title} · Insien`);
  const enter = useMutation({
    mutationFn: async (fields: { email: string; password: string; name: string }) => {
      const { email, password } = fields;
      await (mode === "in" ? signIn({ email, password }) : signUp(fields));
    },
    onSuccess: () => navigate({ to: to ?? "/sandboxes" }),
  });
  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const field = fieldsOf(event.currentTarget);
    enter.mutate({
      email: field("email").trim(),
      password: field("password"),
      name: field("name").trim(),
    });
  };
  const failed = settings.error ?? enter.error;
  const providers = mode === "first" ? [] : (settings.data?.providers ?? []);
  return (
    <main className="entry">
      <div className="card entry-card">
        <Brand />
        <Title order={1} size="h3" mt="xl">
          {title}
        </Title>
        <Text c="dimmed" size="sm" mb="lg">
          {about}
        </Text>
        <form onSubmit={submit} key={mode}>
          <Stack gap="md">
            {failed !== null && (
              <Alert color="red" variant="outline" role="alert" title={explain(failed).message}>
                {explain(failed).hint}
              </Alert>
            )}
            {mode !== "in" && <TextInput name="name" label="Name" required autoComplete="name" />}
            <TextInput name="email" type="email" label="Email" required autoComplete="username" />
            <PasswordInput
              name="password"
              label="Password"
              required
              minLength={mode === "in" ? 1 : 10}
              description={
                mode === "in" ? undefined : "At least 10 characters; a sentence is good."
              }
              autoComplete={mode === "in" ? "current-password" : "new-password"}
            />
            <Button type="submit" loading={enter.isPending} disabled={settings.isPending} fullWidth>
              {verb}
            </Button>
          </Stack>
        </form>
        {providers.map(({ name, url }) => (
          <div key={url}>
            <Divider label="or" my="md" />
            <Button
              component="a"
              href={`${url}?return_to=${encodeURIComponent(to ?? "/sandboxes")}`}
              variant="default"
              fullWidth
            >
              Continue with {name}
            </Button>
          </div>
        ))}
        {mode !== "first" && settings.data?.sign_up === "open" && (
          <Text size="sm" ta="center" mt="lg">
            {mode === "in" ? "No account yet? " : "Have an account? "}
            <Anchor
              component="button"
              type="button"
              size="sm"
              underline="always"
              onClick={() => {
                enter.reset();
                setWantsAccount(!wantsAccount);
              }}
            >
              {mode === "in" ? "Sign up" : "Sign in"}
            </Anchor>
          </Text>
        )}
      </div>
    </main>
  );
}
